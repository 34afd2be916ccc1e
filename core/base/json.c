typedef int hob_stub_json;
