#include "xds/metadata.h"

#include <stdint.h>
#include <stdlib.h>

#include "google/protobuf/struct.pb-c.h"
#include "xds/wire.h"

bool xds_metadata_pack(const struct xds_metadata_field *fields, unsigned count, void **out,
                       size_t *len)
{
    Google__Protobuf__Value values[XDS_METADATA_FIELDS_MAX];
    Google__Protobuf__Struct__FieldsEntry entries[XDS_METADATA_FIELDS_MAX];
    Google__Protobuf__Struct__FieldsEntry *list[XDS_METADATA_FIELDS_MAX];
    Google__Protobuf__Struct message = GOOGLE__PROTOBUF__STRUCT__INIT;
    if (count > XDS_METADATA_FIELDS_MAX)
        abort();
    message.fields = list;
    for (unsigned i = 0; i < count; i++) {
        if (!*fields[i].value)
            continue;
        google__protobuf__value__init(&values[i]);
        google__protobuf__struct__fields_entry__init(&entries[i]);
        values[i].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        values[i].string_value = (char *)(uintptr_t)fields[i].value;
        entries[i].key = (char *)(uintptr_t)fields[i].key;
        entries[i].value = &values[i];
        list[message.n_fields++] = &entries[i];
    }
    return xds_pack(&message.base, out, len);
}
