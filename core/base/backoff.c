typedef int hob_stub_backoff;
