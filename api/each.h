/*
 * EACH(macro, (KIND, name), ...) applies macro(index, KIND, name) to every argument of a row of
 * calls.def and separates the results with commas. It only declares; it hides no control flow.
 */
#ifndef P11GATE_API_EACH_H
#define P11GATE_API_EACH_H

#define EACH_JOIN_(a, b) a##b
#define EACH_JOIN(a, b) EACH_JOIN_(a, b)
#define EACH_COUNT_(a, b, c, d, e, f, count, ...) count
#define EACH_COUNT(...) EACH_COUNT_(__VA_ARGS__, 6, 5, 4, 3, 2, 1, 0)
#define EACH_UNWRAP(...) __VA_ARGS__
#define EACH_CALL(macro, ...) macro(__VA_ARGS__)
#define EACH_ITEM(macro, index, item) EACH_CALL(macro, index, EACH_UNWRAP item)

#define EACH_1(m, a) EACH_ITEM(m, 0, a)
#define EACH_2(m, a, b) EACH_1(m, a), EACH_ITEM(m, 1, b)
#define EACH_3(m, a, b, c) EACH_2(m, a, b), EACH_ITEM(m, 2, c)
#define EACH_4(m, a, b, c, d) EACH_3(m, a, b, c), EACH_ITEM(m, 3, d)
#define EACH_5(m, a, b, c, d, e) EACH_4(m, a, b, c, d), EACH_ITEM(m, 4, e)
#define EACH_6(m, a, b, c, d, e, f) EACH_5(m, a, b, c, d, e), EACH_ITEM(m, 5, f)
#define EACH(macro, ...) EACH_JOIN(EACH_, EACH_COUNT(__VA_ARGS__))(macro, __VA_ARGS__)

#endif
