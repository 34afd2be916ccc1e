typedef int hob_stub_tls;
