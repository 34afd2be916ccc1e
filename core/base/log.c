typedef int hob_stub_log;
