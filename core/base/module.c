typedef int hob_stub_module;
