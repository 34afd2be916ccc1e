typedef int hob_stub_loop;
