#include "injector/quantity.h"

#include "suite.h"

static void amounts_are_read_as_kubernetes_does(void)
{
    static const struct {
        const char *text;
        double amount;
    } rows[] = {{"1", 1},      {"+1", 1},          {"0.5", 0.5},        {".5", 0.5},  {"2.", 2},
                {"100m", 0.1}, {"64Mi", 67108864}, {"1Gi", 1073741824}, {"1k", 1000}, {"3E", 3e18},
                {"1e3", 1000}, {"1E3", 1000},      {"1e-3", 0.001},     {"5n", 5e-9}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double amount = -1;
        CU_ASSERT(quantity_parse(rows[i].text, &amount));
        CU_ASSERT_DOUBLE_EQUAL(amount, rows[i].amount, rows[i].amount * 1e-12);
    }
}

static void everything_else_is_none(void)
{
    static const char *const texts[] = {"",
                                        "-1",
                                        "m",
                                        ".",
                                        "1 ",
                                        " 1",
                                        "1mi",
                                        "1K",
                                        "1e",
                                        "1e+",
                                        "1ee",
                                        "0x10",
                                        "nan",
                                        "inf",
                                        "1,5",
                                        "1.2.3",
                                        "1e999",
                                        "1MiB",
                                        "1111111111111111111111111111111111"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        double amount;
        CU_ASSERT(!quantity_parse(texts[i], &amount));
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(amounts_are_read_as_kubernetes_does),
        SUITE_CASE(everything_else_is_none),
        SUITE_END,
    };
    return suite_main("injector.quantity", cases, argc, argv);
}
