/*
 * Visibility of the functions that applications call; everything else in the library is hidden (exports.map).
 */
#ifndef P11GATE_CLIENT_MODULE_EXPORT_H
#define P11GATE_CLIENT_MODULE_EXPORT_H

#define EXPORT __attribute__((visibility("default")))

#endif
