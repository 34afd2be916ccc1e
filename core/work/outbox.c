typedef int hob_stub_outbox;
