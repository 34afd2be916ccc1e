typedef int hob_stub_protocol;
