#include "gpi_cpu.h"
