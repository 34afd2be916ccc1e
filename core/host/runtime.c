typedef int hob_stub_runtime;
