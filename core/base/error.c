typedef int hob_stub_error;
