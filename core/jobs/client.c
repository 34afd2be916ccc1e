typedef int hob_stub_client;
