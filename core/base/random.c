typedef int hob_stub_random;
