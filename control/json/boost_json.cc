// SPDX-License-Identifier: Apache-2.0
// The one place where Boost.JSON is compiled (lb_json); the daemon and lbctl both link it, so that
// every other file pays for the declarations only and no Boost library is needed at run time.
#include <boost/json/src.hpp>
