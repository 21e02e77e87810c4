# SPDX-License-Identifier: Apache-2.0
# Runs at install time (configs/CMakeLists.txt): what depends on the prefix.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(LB_ETC /etc)
else()
  set(LB_ETC "${CMAKE_INSTALL_PREFIX}/etc")
endif()
set(LB_BINDIR "${CMAKE_INSTALL_PREFIX}/bin")
set(LB_SBINDIR "${CMAKE_INSTALL_PREFIX}/sbin")
configure_file("${LB_CONFIGS}/lbd.service.in" "${LB_CONFIGS_BINARY}/lbd.service" @ONLY)
file(INSTALL DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/systemd/system" TYPE FILE
  FILES "${LB_CONFIGS_BINARY}/lbd.service")
file(INSTALL DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/sysusers.d" TYPE FILE
  FILES "${LB_CONFIGS}/sluice.sysusers" RENAME sluice.conf)
# A config that is there is the operator's: only a package manager may ask about it.
if(EXISTS "${LB_CONFIGS}/lbd.toml" AND NOT EXISTS "$ENV{DESTDIR}${LB_ETC}/sluice/lbd.toml")
  file(INSTALL DESTINATION "${LB_ETC}/sluice" TYPE FILE FILES "${LB_CONFIGS}/lbd.toml")
endif()
