typedef int hob_stub_config;
