typedef int hob_stub_exec;
