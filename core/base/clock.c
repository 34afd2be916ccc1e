typedef int hob_stub_clock;
