typedef int hob_stub_buf;
