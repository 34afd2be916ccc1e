typedef int hob_stub_task;
