typedef int hob_stub_executor;
