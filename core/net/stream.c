typedef int hob_stub_stream;
