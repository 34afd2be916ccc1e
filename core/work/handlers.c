typedef int hob_stub_handlers;
