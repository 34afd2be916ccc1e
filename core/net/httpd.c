typedef int hob_stub_httpd;
