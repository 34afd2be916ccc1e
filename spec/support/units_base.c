typedef int hob_stub_units_base;
