################################################################################
#
# hob
#
################################################################################

HOB_VERSION = 0.1.0
HOB_SOURCE = hob-$(HOB_VERSION).tar.gz
# Where your sources are; their hash goes to hob.hash.
HOB_SITE = FILL-IN
HOB_LICENSE = MIT
HOB_LICENSE_FILES = LICENSE
HOB_INSTALL_STAGING = YES
HOB_DEPENDENCIES = host-pkgconf libuv mosquitto mbedtls sqlite lua libcurl libedit libmicrohttpd

# Hob links lua-cjson, which Buildroot has as a module of Lua: its sources, compiled in.
HOB_CJSON_VERSION = 2.1.0
HOB_EXTRA_DOWNLOADS = FILL-IN/lua-cjson-$(HOB_CJSON_VERSION).tar.gz

define HOB_BUILD_CJSON
	mkdir -p $(@D)/lua-cjson
	$(TAR) -C $(@D)/lua-cjson --strip-components=1 \
		-xzf $(HOB_DL_DIR)/lua-cjson-$(HOB_CJSON_VERSION).tar.gz
	$(TARGET_CONFIGURE_OPTS) LUA_CFLAGS=-I$(STAGING_DIR)/usr/include \
		$(@D)/packaging/lua-cjson.sh $(@D)/lua-cjson $(@D)/cjson
endef
HOB_PRE_CONFIGURE_HOOKS += HOB_BUILD_CJSON

# Buildroot's pkg-config puts the sysroot before -L: the library is named by its place.
HOB_CONF_OPTS = -DHOB_SPEC_MODULE=OFF -DCMAKE_LIBRARY_PATH=$(@D)/cjson/lib
HOB_CONF_ENV = PKG_CONFIG_PATH=$(@D)/cjson/lib/pkgconfig:$(STAGING_DIR)/usr/lib/pkgconfig

define HOB_USERS
	hob -1 hob -1 * /var/lib/hob - - programs of AWS IoT jobs
endef

define HOB_INSTALL_INIT_SYSTEMD
	mkdir -p $(TARGET_DIR)/etc/systemd/system/multi-user.target.wants
	ln -sf /usr/lib/systemd/system/hob.service \
		$(TARGET_DIR)/etc/systemd/system/multi-user.target.wants/hob.service
endef

$(eval $(cmake-package))
