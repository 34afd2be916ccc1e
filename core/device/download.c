typedef int hob_stub_download;
