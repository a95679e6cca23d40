/* Stands in for the kernel's configuration: what BCC's own headers ask of it. */
#ifndef WHYDROP_KCONFIG_H
#define WHYDROP_KCONFIG_H

#define CONFIG_BPF_SYSCALL 1

#endif
