typedef int hob_stub_sandbox;
