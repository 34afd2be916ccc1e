typedef int hob_stub_store;
