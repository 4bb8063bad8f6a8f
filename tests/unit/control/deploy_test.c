/* The mesh files that we hand out are good ones. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "suite.h"
#include "yaml.h"

static void expect_good(const char *name)
{
    char path[4096];
    char *data = NULL;
    size_t len;
    snprintf(path, sizeof path, HANDFAST_SOURCE_DIR "/deploy/%s", name);
    CU_ASSERT_EQUAL_FATAL(file_read(path, 1 << 20, &data, &len, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(yaml_problem(data), "");
    free(data);
}

static void example_of_the_standalone_mesh_is_good(void)
{
    expect_good("standalone/mesh.yaml");
}

static void mesh_of_the_demo_is_good(void)
{
    expect_good("demo/mesh.yaml");
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(example_of_the_standalone_mesh_is_good),
        SUITE_CASE(mesh_of_the_demo_is_good),
        SUITE_END,
    };
    return suite_main("control.deploy", cases, argc, argv);
}
