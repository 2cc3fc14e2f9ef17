// What systemd is told, when it started us (Type=notify); nothing happens otherwise.
#pragma once

#include <string>

namespace bao_exporter::service_manager {

void ready(const std::string& status);
void reloading();  // ready() ends it
void stopping();
void watchdog();  // call it only while everything is alive

}  // namespace bao_exporter::service_manager
