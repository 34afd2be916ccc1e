typedef int hob_stub_bindings;
