// A libnvidia-ml.so.1 without a GPU. Every call looks into $FAKE_NVML anew, a file of `key=value` lines of which
// the last of a key counts:
//
//   count=8                     GPUs that the driver tells of; without it the driver is not loaded
//   init=18                     an nvmlReturn_t that nvmlInit gives
//   all.temperature=40          of every GPU; gpu3.temperature=91 of one
//   gpu3.error=15               what every question about a GPU gives (15 = lost, 16 = reset required)
//   gpu3.handle=999             what the question for its handle gives
//   gpu3.power.error=3          what one question gives (3 = not supported)
//   gpu3.hang=1                 questions about it never return
//   gpu3.processes=41:1024,42:0 pids with the bytes that each holds; `displays` and `served` (by MPS) likewise
//   gpu3.living=41:1024         the same of those pids that live
//   gpu3.links=0000:3c:00,switch what is at the other end of each of its NVLinks
//
// A power limit that is set is written behind the others.
//
// With -DOLD it is the library of an old driver: what came after r470 is not there.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct { u32 index; } *Device;

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9 };
enum { MOST = 32 };
static struct { u32 index; } devices[MOST];
static int initialized;

static char *lines;
static struct stat known;

static void look(void) {
    const char *path = getenv("FAKE_NVML");
    struct stat now;
    if (!path || stat(path, &now)) return;
    if (lines && now.st_ino == known.st_ino && now.st_size == known.st_size &&
        !memcmp(&now.st_mtim, &known.st_mtim, sizeof now.st_mtim)) return;
    FILE *file = fopen(path, "r");
    if (!file) return;
    free(lines);
    lines = calloc(1, (size_t)now.st_size + 2);
    lines[0] = '\n';
    lines[fread(lines + 1, 1, (size_t)now.st_size, file) + 1] = 0;
    fclose(file);
    known = now;
}

static int value(const char *key, char *out, size_t size) {
    char wanted[128];
    int found = 0;
    if (!lines) return 0;
    snprintf(wanted, sizeof wanted, "\n%s=", key);
    for (char *at = lines; (at = strstr(at, wanted)); found = 1) {
        at += strlen(wanted);
        snprintf(out, size, "%.*s", (int)strcspn(at, "\r\n"), at);
    }
    return found;
}

static int number(const char *key) {
    char text[64];
    return value(key, text, sizeof text) ? atoi(text) : 0;
}

static int of(u32 index, const char *name, char *out, size_t size) {
    char key[96];
    snprintf(key, sizeof key, "gpu%u.%s", index, name);
    if (value(key, out, size)) return 1;
    snprintf(key, sizeof key, "all.%s", name);
    return value(key, out, size);
}

static nvmlReturn_t text(Device device, const char *name, char *out, size_t size) {
    char found[64], error[96];
    look();
    if (!initialized) return UNINITIALIZED;
    if (!device) return INVALID;
    while (of(device->index, "hang", found, sizeof found)) pause();
    if (of(device->index, "error", found, sizeof found)) return atoi(found);
    snprintf(error, sizeof error, "%s.error", name);
    if (of(device->index, error, found, sizeof found)) return atoi(found);
    return of(device->index, name, out, size) ? OK : NOT_SUPPORTED;
}

static nvmlReturn_t whole(Device device, const char *name, u64 *out) {
    char found[64];
    nvmlReturn_t code = text(device, name, found, sizeof found);
    if (code == OK) *out = strtoull(found, NULL, 0);
    return code;
}

static nvmlReturn_t small(Device device, const char *name, u32 *out) {
    u64 found = 0;
    nvmlReturn_t code = whole(device, name, &found);
    if (code == OK) *out = (u32)found;
    return code;
}

nvmlReturn_t nvmlInitWithFlags(u32 flags) {
    char count[16];
    (void)flags;
    look();
    if (number("init")) return number("init");
    if (!value("count", count, sizeof count)) return NO_DRIVER;
    initialized = 1;
    return OK;
}

nvmlReturn_t nvmlShutdown(void) {
    if (!initialized) return UNINITIALIZED;
    initialized = 0;
    return OK;
}

const char *nvmlErrorString(nvmlReturn_t code) { return code ? "an error of the fake library" : "Success"; }

nvmlReturn_t nvmlDeviceGetCount_v2(u32 *count) {
    look();
    if (!initialized) return UNINITIALIZED;
    *count = (u32)number("count");
    return number("count.error");
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(u32 index, Device *device) {
    char code[16];
    look();
    if (!initialized) return UNINITIALIZED;
    if (index >= (u32)number("count") || index >= MOST) return INVALID;
    if (of(index, "handle", code, sizeof code)) return atoi(code);
    devices[index].index = index;
    *device = (Device)&devices[index];
    return OK;
}

nvmlReturn_t nvmlDeviceGetName(Device device, char *out, u32 size) { return text(device, "name", out, size); }
nvmlReturn_t nvmlDeviceGetUUID(Device device, char *out, u32 size) { return text(device, "uuid", out, size); }

typedef struct { char legacy[16]; u32 domain, bus, device, id, subsystem; char address[32]; } Pci;
nvmlReturn_t nvmlDeviceGetPciInfo_v3(Device device, Pci *out) {
    nvmlReturn_t code = text(device, "pci", out->address, sizeof out->address);
    if (code == OK) sscanf(out->address, "%x:%x:%x", &out->domain, &out->bus, &out->device);
    return code;
}

nvmlReturn_t nvmlDeviceGetTemperature(Device device, u32 sensor, u32 *out) {
    (void)sensor;
    return small(device, "temperature", out);
}

nvmlReturn_t nvmlDeviceGetTemperatureThreshold(Device device, u32 kind, u32 *out) {
    return kind == 1 ? small(device, "slowdown", out) : NOT_SUPPORTED;
}

typedef struct { u64 total, free, used; } Memory;
nvmlReturn_t nvmlDeviceGetMemoryInfo(Device device, Memory *out) {
    u64 reserved = 0;
    nvmlReturn_t code = whole(device, "memory_total", &out->total);
    if (code == OK) code = whole(device, "memory_used", &out->used);
    if (code == OK && whole(device, "memory_reserved", &reserved) == OK) out->used += reserved;
    if (code == OK) out->free = out->total - out->used;
    return code;
}

typedef struct { u32 gpu, memory; } Rates;
nvmlReturn_t nvmlDeviceGetUtilizationRates(Device device, Rates *out) {
    return small(device, "utilization", &out->gpu);
}

nvmlReturn_t nvmlDeviceGetPowerUsage(Device device, u32 *out) { return small(device, "power", out); }
nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(Device device, u32 *out) { return small(device, "power_limit", out); }

nvmlReturn_t nvmlDeviceGetTotalEccErrors(Device device, u32 type, u32 counter, u64 *out) {
    return type == 1 && counter == 0 ? whole(device, "ecc", out) : NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetRemappedRows(Device device, u32 *corrected, u32 *uncorrected, u32 *pending, u32 *failed) {
    nvmlReturn_t code = small(device, "remap_pending", pending);
    *corrected = *uncorrected = 0;
    return code == OK ? small(device, "remap_failed", failed) : code;
}

nvmlReturn_t nvmlDeviceGetMigMode(Device device, u32 *now, u32 *pending) {
    nvmlReturn_t code = small(device, "mig", now);
    *pending = *now;
    return code;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(Device device, u64 *out) {
    return whole(device, "throttle", out);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) {
    char own[96];
    u32 count = 0;
    nvmlReturn_t code = nvmlDeviceGetCount_v2(&count);
    for (u32 index = 0; code == OK && index < count && index < MOST; index++)
        if (of(index, "uuid", own, sizeof own) && !strcmp(own, uuid)) return nvmlDeviceGetHandleByIndex_v2(index, device);
    return code == OK ? NOT_FOUND : code;
}

nvmlReturn_t nvmlDeviceGetMinorNumber(Device device, u32 *out) { return small(device, "minor", out); }
nvmlReturn_t nvmlDeviceGetPowerManagementLimit(Device device, u32 *out) { return small(device, "power_limit", out); }
nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(Device device, u32 *out) {
    return small(device, "power_default", out);
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(Device device, u32 *least, u32 *most) {
    nvmlReturn_t code = small(device, "power_min", least);
    return code == OK ? small(device, "power_max", most) : code;
}

nvmlReturn_t nvmlDeviceSetPowerManagementLimit(Device device, u32 limit) {
    u32 least, most, refused;
    nvmlReturn_t code = nvmlDeviceGetPowerManagementLimitConstraints(device, &least, &most);
    if (code != OK) return code;
    if (limit < least || limit > most) return INVALID;
    if (small(device, "power_set.error", &refused) == OK) return refused;
    FILE *file = fopen(getenv("FAKE_NVML"), "a");
    fprintf(file, "gpu%u.power_limit=%u\n", device->index, limit);
    return fclose(file) ? 999 : OK;
}

static int link_end(Device device, u32 link, char *out) {
    char list[512], *rest = list, *item;
    if (text(device, "links", list, sizeof list) != OK) return 0;
    for (u32 at = 0; (item = strsep(&rest, ",")); at++)
        if (at == link) return snprintf(out, 32, "%.31s", item);
    return 0;
}

nvmlReturn_t nvmlDeviceGetNvLinkState(Device device, u32 link, u32 *active) {
    char end[32];
    *active = 1;
    return link_end(device, link, end) ? OK : NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(Device device, u32 link, u32 *kind) {
    char end[32];
    if (!link_end(device, link, end)) return NOT_SUPPORTED;
    *kind = strcmp(end, "switch") ? 0 : 2;
    return OK;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(Device device, u32 link, Pci *out) {
    if (!link_end(device, link, out->address)) return NOT_SUPPORTED;
    sscanf(out->address, "%x:%x:%x", &out->domain, &out->bus, &out->device);
    return OK;
}

typedef struct { u32 pid; u64 memory; u32 instance, compute; } Process;
static int lives(int pid) {
    char path[32], line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    char *end = file && fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    if (file) fclose(file);
    return end && end[2] != 'Z' && end[2] != 'X';
}

static nvmlReturn_t processes(Device device, const char *kind, u32 *count, Process *out) {
    char list[4096], *rest = list, *item;
    u32 room = out ? *count : 0, found = 0;
    nvmlReturn_t code = text(device, kind, list, sizeof list);
    int living = code == NOT_SUPPORTED && !strcmp(kind, "processes");
    if (living) code = text(device, "living", list, sizeof list);
    if (code != OK && code != NOT_SUPPORTED) return code;
    while (code == OK && (item = strsep(&rest, ","))) {
        if (living && !lives(atoi(item))) continue;
        char *colon = strchr(item, ':');
        if (found < room) out[found] = (Process){(u32)atoi(item), colon ? strtoull(colon + 1, NULL, 0) : 0, ~0u, ~0u};
        found++;
    }
    *count = found;
    return found > room ? TOO_SMALL : OK;
}
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(Device device, u32 *count, Process *out) {
    return processes(device, "processes", count, out);
}
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v2(Device device, u32 *count, Process *out) {
    return processes(device, "displays", count, out);
}
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v2(Device device, u32 *count, Process *out) {
    return processes(device, "served", count, out);
}

#ifndef OLD
typedef struct { u32 version; u64 total, reserved, free, used; } Memory2;
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(Device device, Memory2 *out) {
    Memory all;
    nvmlReturn_t code = nvmlDeviceGetMemoryInfo(device, &all);
    if (code != OK) return code;
    if (whole(device, "memory_reserved", &out->reserved) != OK) out->reserved = 0;
    out->total = all.total, out->free = all.free, out->used = all.used - out->reserved;
    return OK;
}

typedef struct { u32 version; int margin; } Margin;
nvmlReturn_t nvmlDeviceGetMarginTemperature(Device device, Margin *out) {
    char found[64];
    nvmlReturn_t code = text(device, "margin", found, sizeof found);
    if (code == OK) out->margin = atoi(found);
    return code;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(Device device, u64 *out) { return whole(device, "throttle", out); }

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(Device device, u32 *count, Process *out) {
    return processes(device, "processes", count, out);
}

typedef struct { u32 field, scope; long long at, latency; u32 type; nvmlReturn_t code; u64 value; } Field;
nvmlReturn_t nvmlDeviceGetFieldValues(Device device, int count, Field *fields) {
    char ignored[8];
    nvmlReturn_t code = text(device, "fields", ignored, sizeof ignored);
    if (code != OK && code != NOT_SUPPORTED) return code;
    for (int at = 0; at < count; at++) {
        u32 id = fields[at].field;
        const char *name = id == 230 ? "recovery" : id == 226 ? "reset_status" : id == 227 ? "drain_status" : "none";
        fields[at].value = ~0ull << 32;  // a driver sets only as many bytes as the type has
        fields[at].type = 1;
        fields[at].code = small(device, name, (u32 *)&fields[at].value);
    }
    return OK;
}
#endif
