# The tests in Python: each file is one ctest test, named as its path. Those in e2e/ share one real
# cluster, which a fixture starts and stops; a file whose test stops nodes starts a cluster of its own.
if(NOT EXISTS "${BAO_EXPORTER_VENV}/bin/python")
  message(STATUS "Tests in Python left out: no BAO_EXPORTER_VENV (./dev test makes one)")
  return()
endif()

set(python_environment
  "BAO_EXPORTER=$<TARGET_FILE:bao-exporter>"
  "BAO_EXPORTER_HANGING=$<TARGET_FILE:bao-exporter-hanging>"
  "BAO_EXPORTER_PROMETHEUS_DIR=${BAO_EXPORTER_PROMETHEUS_DIR}"
  "BAO_EXPORTER_PEERS=${BAO_EXPORTER_PEERS}"
  "BAO_PEER_BODIES=$<TARGET_FILE:peer_bodies>"
  "PYTHONDONTWRITEBYTECODE=1"
  "PYTHONPATH=${CMAKE_CURRENT_SOURCE_DIR}/e2e:${CMAKE_CURRENT_SOURCE_DIR}/fault:${CMAKE_CURRENT_SOURCE_DIR}/fake")
set(cluster_dir "${CMAKE_CURRENT_BINARY_DIR}/cluster")

# bao_python_test(FOLDER FILE [CLUSTER] [TIMEOUT seconds])
function(bao_python_test folder file)
  cmake_parse_arguments(arg "CLUSTER" "TIMEOUT" "" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set(name "${folder}/${file}")
  add_test(NAME ${name}
    COMMAND ${BAO_EXPORTER_VENV}/bin/python -m pytest -q -rs -p no:cacheprovider
            ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/${file}.py)
  # A file of which nothing ran is told as skipped; with one failure in it the line is another.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS ${folder}
                       ENVIRONMENT "${python_environment}"
                       SKIP_REGULAR_EXPRESSION "\n[0-9]+ skipped in ")
  if(arg_CLUSTER)
    set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED cluster
      ENVIRONMENT "${python_environment};BAO_CLUSTER_DIR=${cluster_dir}")
  endif()
endfunction()

add_test(NAME e2e/cluster_start COMMAND ${CMAKE_COMMAND} -E env
  ${BAO_EXPORTER_VENV}/bin/python ${CMAKE_CURRENT_SOURCE_DIR}/e2e/cluster.py start
  --dir ${cluster_dir} --replace)
add_test(NAME e2e/cluster_stop COMMAND
  ${BAO_EXPORTER_VENV}/bin/python ${CMAKE_CURRENT_SOURCE_DIR}/e2e/cluster.py stop
  --dir ${cluster_dir})
set_tests_properties(e2e/cluster_start PROPERTIES FIXTURES_SETUP cluster TIMEOUT 180)
set_tests_properties(e2e/cluster_stop PROPERTIES FIXTURES_CLEANUP cluster TIMEOUT 60)
bao_python_test(deploy test_configs TIMEOUT 60)
bao_python_test(deploy test_certctl_recipe TIMEOUT 60)
bao_python_test(deploy test_kubernetes TIMEOUT 60)
bao_python_test(deploy test_prometheus_files TIMEOUT 240)

bao_python_test(reference test_prometheus_parser TIMEOUT 300)

# Fakes that misbehave on demand: no real OpenBao, no network, each its own processes.
bao_python_test(fake test_fake_certctl TIMEOUT 120)
bao_python_test(fake test_fake_certctl_state TIMEOUT 120)
bao_python_test(fault test_transport_faults TIMEOUT 400)
bao_python_test(fault test_http_faults TIMEOUT 400)
bao_python_test(fault test_body_faults TIMEOUT 500)
bao_python_test(fault test_relabel TIMEOUT 200)
bao_python_test(fault test_cardinality TIMEOUT 300)
bao_python_test(fault test_identity TIMEOUT 300)
bao_python_test(fault test_identity_peers TIMEOUT 400)
bao_python_test(fault test_identity_without_raft TIMEOUT 400)
bao_python_test(fault test_identity_clusters TIMEOUT 400)
bao_python_test(fault test_profiles TIMEOUT 300)
bao_python_test(fault test_failure_table TIMEOUT 300)
bao_python_test(fault test_rhythm TIMEOUT 300)
bao_python_test(fault test_start TIMEOUT 120)
bao_python_test(fault test_canary TIMEOUT 120)
bao_python_test(fault test_token_faults TIMEOUT 600)
bao_python_test(fault test_certctl_faults TIMEOUT 300)
bao_python_test(fault test_certctl_body TIMEOUT 300)
bao_python_test(security test_certctl_key_flow TIMEOUT 200)
bao_python_test(security test_traps TIMEOUT 400)
bao_python_test(security test_memory TIMEOUT 400)
bao_python_test(security test_certctl_key TIMEOUT 200)
set_tests_properties(fault/test_certctl_faults PROPERTIES PROCESSORS 3)  # 50 servers at once
bao_python_test(fault test_doctor_faults TIMEOUT 120)
bao_python_test(fault test_doctor_certctl TIMEOUT 180)
set_tests_properties(fault/test_rhythm PROPERTIES RUN_SERIAL TRUE)  # measures 100 ms

bao_python_test(e2e test_config TIMEOUT 60)
bao_python_test(e2e test_port CLUSTER)
bao_python_test(e2e test_port_tls TIMEOUT 120)
bao_python_test(e2e test_port_hostile CLUSTER TIMEOUT 120)
bao_python_test(e2e test_hash_token TIMEOUT 60)
bao_python_test(e2e test_healthcheck CLUSTER TIMEOUT 120)
bao_python_test(e2e test_paths CLUSTER)
bao_python_test(e2e test_prometheus CLUSTER)
bao_python_test(e2e test_samples CLUSTER)
bao_python_test(e2e test_audit TIMEOUT 200)
bao_python_test(e2e test_dropin TIMEOUT 500)
bao_python_test(e2e test_secrecy CLUSTER)
bao_python_test(e2e test_tokens_upstream CLUSTER)
bao_python_test(e2e test_failover TIMEOUT 120)
bao_python_test(e2e test_failovers TIMEOUT 480)
bao_python_test(e2e test_failovers_defaults TIMEOUT 600)
bao_python_test(e2e test_forwarding_standbys TIMEOUT 200)
bao_python_test(e2e test_node_states TIMEOUT 400)
bao_python_test(e2e test_token_life TIMEOUT 700)
bao_python_test(e2e test_token_rotation TIMEOUT 480)
bao_python_test(e2e test_token_power TIMEOUT 400)
bao_python_test(e2e test_doctor_golden TIMEOUT 400)
bao_python_test(e2e test_doctor TIMEOUT 300)

# certctl, as the fake in fake/ is one.
bao_python_test(e2e test_certctl_exact TIMEOUT 450)
bao_python_test(e2e test_certctl_budget TIMEOUT 300)
bao_python_test(e2e test_certctl_permissions TIMEOUT 300)
bao_python_test(e2e test_certctl_port TIMEOUT 200)
bao_python_test(e2e test_demo TIMEOUT 150)

# What the documents say against what the binary says.
bao_python_test(deploy test_documents TIMEOUT 120)

# The release, as it is shipped, built beside this one to be looked at.
set(release_dir "${PROJECT_BINARY_DIR}/release")
add_test(NAME deploy/release_configure COMMAND ${CMAKE_COMMAND} --preset release
  -S ${PROJECT_SOURCE_DIR} -B ${release_dir} -DBAO_EXPORTER_TESTS=OFF
  -DCIVETWEB_SOURCE_DIR=${CIVETWEB_SOURCE_DIR})
# With what time the tests beside it leave: some measure milliseconds.
add_test(NAME deploy/release_build
  COMMAND nice -n 19 ${CMAKE_COMMAND} --build ${release_dir} --parallel 2)
set_tests_properties(deploy/release_configure PROPERTIES FIXTURES_SETUP release_configured TIMEOUT 120)
set_tests_properties(deploy/release_build PROPERTIES FIXTURES_REQUIRED release_configured
  FIXTURES_SETUP release TIMEOUT 1500)
bao_python_test(deploy test_hardening TIMEOUT 120)
set_tests_properties(deploy/test_hardening PROPERTIES FIXTURES_REQUIRED release
  ENVIRONMENT "${python_environment};BAO_EXPORTER_RELEASE=${release_dir}/bao-exporter")

bao_python_test(deploy test_systemd_unit TIMEOUT 120)
bao_python_test(deploy test_systemd_boot TIMEOUT 260)
set_tests_properties(deploy/test_systemd_boot PROPERTIES PROCESSORS 2)  # a whole Debian

# What changes while it runs, and a poll loop that hangs.
bao_python_test(fault test_reload TIMEOUT 600)
bao_python_test(fault test_reload_secrets TIMEOUT 600)
bao_python_test(fault test_reload_edges TIMEOUT 600)
bao_python_test(fault test_reload_storm TIMEOUT 300)
bao_python_test(fault test_stall TIMEOUT 120)
bao_python_test(fault test_gate TIMEOUT 180)

# Seconds that the longest take: they are begun first, so that the last to end is a short one. (From its
# second run in a folder on ctest knows better.)
function(bao_begin_early)
  while(ARGN)
    list(POP_FRONT ARGN name seconds)
    set_tests_properties(${name} PROPERTIES COST ${seconds})
  endwhile()
endfunction()
bao_begin_early(
  deploy/release_build 400 e2e/test_failovers_defaults 310 e2e/test_token_life 250
  e2e/test_failovers 210 fault/test_reload 170 e2e/test_node_states 160 e2e/test_dropin 160
  e2e/test_token_power 140 e2e/test_certctl_budget 120 e2e/test_token_rotation 120
  security/test_certctl_key 110 security/test_traps 110 deploy/test_prometheus_files 100
  fault/test_body_faults 100 fault/test_http_faults 100 fault/test_reload_secrets 85
  fault/test_identity 85 e2e/test_certctl_permissions 75 fault/test_identity_peers 75
  e2e/test_audit 72 fault/test_transport_faults 70 e2e/test_certctl_exact 65
  security/test_memory 65 fault/test_token_faults 65 fault/test_certctl_body 64
  fault/test_profiles 63 fault/test_certctl_faults 60 e2e/test_doctor_golden 48 deploy/test_systemd_boot 45
  e2e/test_forwarding_standbys 43 fault/test_failure_table 37 fault/test_cardinality 35 fault/test_stall 36
  e2e/test_certctl_port 35 fault/test_doctor_certctl 27 fault/test_identity_without_raft 26)
