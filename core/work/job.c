typedef int hob_stub_job;
