/* SPDX-License-Identifier: Apache-2.0 */
/* A library that allocates nothing. */

int nothing_here(int number) { return number + 1; }
