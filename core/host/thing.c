typedef int hob_stub_thing;
