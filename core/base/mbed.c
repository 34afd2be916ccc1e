typedef int hob_stub_mbed;
