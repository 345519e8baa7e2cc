# Sluice. `make help` lists what there is to do.
#
# Everything is tied together by the files it makes:
#   build/PRESET/model.pt -> quantized.npz, model.onnx -> model.tflite -> BOARD/firmware.elf
#                                            BOARD/firmware.elf -> measurement.json, parity.json

PRESET ?= paper
BOARD  ?= mps2-an386
BOARDS ?= $(BOARD)
PORT   ?=
PPK2   ?=
EMBEDDING ?=
MINUTES ?= 10
FRAMES ?= 1000
RATES  ?=
INPUTS ?= 10000000
SEED   ?= 1
DATA   ?=
STEPS  ?= 500
QAT    ?=
RECIPE ?= S2
EMBEDDING ?=
ENROLMENT ?= build/embedding.json
RECOGNISER ?=
DNSMOS ?=
PYTHON ?= python3.11

# Quantisation-aware training has a folder of its own beside that of plain rounding.
TRAINED := $(if $(QAT),-qat)

VENV  := .venv
PY    := $(VENV)/bin/python
SETUP := $(VENV)/.set-up
MODEL := build/$(PRESET)$(TRAINED)
OUT   := $(MODEL)/$(BOARD)
# A run on a corpus is kept apart from one on the synthetic data.
ON := $(if $(DATA),-$(basename $(notdir $(patsubst %/,%,$(DATA)))))

# A preset is known by its name or given as a .toml file.
PRESET_FILE := $(or $(filter %.toml,$(PRESET)),dyncp/presets/$(PRESET).toml)
ifneq ($(filter %.toml,$(PRESET)),)
MODEL := build/$(basename $(notdir $(PRESET)))$(TRAINED)
endif
NAME := $(basename $(notdir $(PRESET)))

# What cannot be right is said at once, unless nothing is to be built.
ifneq ($(filter-out help clean set-up lint boards bench fuzz-link test test-slow,$(or $(MAKECMDGOALS),report)),)
ifeq ($(wildcard $(PRESET_FILE)),)
$(error unknown preset '$(PRESET)'; choose one of $(basename $(notdir $(wildcard dyncp/presets/*.toml))), or give a .toml file)
endif
ifeq ($(wildcard targets/boards/$(BOARD).toml),)
$(error unknown board '$(BOARD)'; choose one of $(basename $(notdir $(wildcard targets/boards/*.toml))))
endif
endif

# What each room is made of; a room is rebuilt when it or an earlier one changes.
DYNCP    := $(wildcard dyncp/*.py)
QUANTIZE := $(wildcard quantize/*.py quantize/qat/*.py)
CONVERT  := $(wildcard convert/*.py)
FIRMWARE := $(wildcard targets/*.py targets/compiler/*.py) \
            $(shell find targets/firmware -name '*.[chS]' -o -name '*.inc' -o -name '*.ld*')
BRIDGE   := $(wildcard firmware_bridge/*.py)
PROBES   := $(wildcard dyncp/probes/*.py) dyncp/data/labels.py dyncp/data/streams.py

# Those that are judged, and where the page goes.
CHECKPOINTED := $(sort $(basename $(notdir $(wildcard dyncp/checkpoints/*.pt))))
RESULTS      := $(if $(DATA),build/results$(ON),docs)

NOISY := build/audio/noisy.wav
CLEAN := build/audio/clean.wav
# 170 s in all noises: more than the 10,000 frames that the ladder is climbed with at night.
LONG  := build/audio/stream.wav

# The boards on the ladder; the one that PORT is of comes first.
EMULATED := $(patsubst targets/boards/%.toml,%,$(shell grep -l '^\[emulator\]' targets/boards/*.toml))
WANTED   := $(if $(filter all,$(BOARDS)),$(BOARD) $(EMULATED),$(BOARDS))
CLIMBED  := $(filter $(BOARD),$(firstword $(filter $(BOARD),$(WANTED)))) $(sort $(filter-out $(BOARD),$(WANTED)))
LADDER   := $(MODEL)/host/libsluice.so $(CLIMBED:%=$(MODEL)/%/firmware.elf)

.DELETE_ON_ERROR:
.DEFAULT_GOAL := report
.PHONY: report set-up boards flash hil faults faults-tiny fuzz-link measure campaign mlperf parity parity-nightly enhance enrol personal personal-board bench train qat ablate evaluate exactness test test-slow lint clean help

## report: (default) set up, build the preset, stream audio through the board, show the result
report: $(OUT)/measurement.json $(OUT)/parity.passed
	@$(PY) -m firmware_bridge report $(OUT)/measurement.json --parity $(OUT)/parity.json

## set-up: the virtual environment from the lock, and the system packages
set-up: $(SETUP)

$(SETUP): requirements.lock pyproject.toml .ci/system-packages
	@PYTHON=$(PYTHON) bash .ci/system-packages
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --disable-pip-version-check $$(grep '^torch==' requirements.lock)
	$(PY) -m pip install -q --disable-pip-version-check --no-deps \
	  $$(grep -E '^(setuptools|wheel|Cython|numpy)==' requirements.lock)
	$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation \
	  -r requirements.lock
	$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(NOISY) $(CLEAN) &: dyncp/__main__.py $(wildcard dyncp/data/*.py) | $(SETUP)
	$(PY) -m dyncp example --noisy $(NOISY) --clean $(CLEAN)

$(LONG): dyncp/__main__.py $(wildcard dyncp/data/*.py) | $(SETUP)
	$(PY) -m dyncp stream --out $@

dyncp/checkpoints/%.pt:
	@echo "error: preset '$*' has no checkpoint yet; run: make train PRESET=$(PRESET)" >&2; exit 2

# With QAT=1: the checkpoint that ships with its grids; where there is none, it is trained.
AWARE := $(if $(QAT),$(wildcard quantize/checkpoints/$(NAME).pt))
# A personalised network's is one by a recipe: docs/personal.md.
PERSONAL := $(if $(wildcard $(PRESET_FILE)),$(shell grep -l '^\[speaker\]' $(PRESET_FILE)))
SHIPPED  := $(if $(PERSONAL),dyncp/personal/checkpoints/$(NAME)-$(RECIPE).pt,dyncp/checkpoints/$(NAME).pt)
FLOAT := $(or $(AWARE),$(SHIPPED))
HOW   := $(if $(QAT),$(if $(AWARE),ptq,qat --folder $(MODEL)/training),ptq)

$(MODEL)/model.pt: $(FLOAT) $(PRESET_FILE) $(DYNCP) | $(SETUP)
	$(PY) -m dyncp checkpoint --preset $(PRESET) --source $(FLOAT) --out $@

$(MODEL)/quantized.npz $(MODEL)/deployed.pt &: $(MODEL)/model.pt $(QUANTIZE) | $(SETUP)
	$(PY) -m quantize $(HOW) --checkpoint $< --deployed $(MODEL)/deployed.pt --out $(MODEL)/quantized.npz

$(MODEL)/model.onnx: $(MODEL)/deployed.pt convert/onnx_export.py | $(SETUP)
	$(PY) -m convert onnx --checkpoint $< --out $@

$(MODEL)/model.tflite: $(MODEL)/model.onnx $(MODEL)/quantized.npz $(CONVERT) | $(SETUP)
	$(PY) -m convert tflite --onnx $< --quantized $(MODEL)/quantized.npz --out $@

$(MODEL)/%/firmware.elf: $(MODEL)/model.tflite targets/boards/%.toml $(FIRMWARE) | $(SETUP)
	$(PY) -m targets firmware --model $< --board $* --out $(@D)

# Where the board is: an emulator that is started, or a port.
AT := --board $(BOARD) $(if $(PORT),--port $(PORT))
# What measures its supply, if anything does: docs/energy.md.
WITH := $(if $(PPK2),--ppk2 $(PPK2))
# Whom a personalised network keeps: a file, or everybody.
KEEP := $(if $(EMBEDDING),--embedding "$(EMBEDDING)")

$(OUT)/measurement.json: $(OUT)/firmware.elf $(NOISY) $(BRIDGE) | $(SETUP)
	$(PY) -m firmware_bridge measure $(AT) $(WITH) $(KEEP) --firmware $< --model $(MODEL)/model.tflite \
	  --checkpoint $(MODEL)/deployed.pt --wav $(NOISY) --clean $(CLEAN) \
	  --enhanced $(OUT)/enhanced.wav --out $@

$(MODEL)/host/libsluice.so: $(MODEL)/model.tflite $(FIRMWARE) | $(SETUP)
	$(PY) -m targets host --model $< --out $(@D) --sanitised

# The report of a failed run must stay, and must not pass for up to date: make looks at a
# stamp that only a run without a difference leaves.
$(OUT)/parity.passed: $(LADDER) $(LONG) $(BRIDGE) | $(SETUP)
	@rm -f $@
	$(PY) -m firmware_bridge parity $(KEEP) --frames $(FRAMES) --wav $(LONG) \
	  $(foreach board,$(CLIMBED),--board $(board) --firmware $(MODEL)/$(board)/firmware.elf) \
	  $(if $(filter $(BOARD),$(CLIMBED)),$(if $(PORT),--port $(PORT))) --model $(MODEL)/model.tflite \
	  --quantized $(MODEL)/quantized.npz --checkpoint $(MODEL)/deployed.pt \
	  --onnx $(MODEL)/model.onnx --library $(MODEL)/host/libsluice.so \
	  --sanitised $(MODEL)/host/serve-frames-sanitised --out $(OUT)/parity.json
	@touch $@

## boards: what is plugged in, what is emulated, what can be flashed
boards: $(SETUP)
	@$(PY) -m firmware_bridge boards

## flash: build the firmware, write it to BOARD [PORT=auto], which must then greet with it
flash: $(OUT)/firmware.elf
	@$(PY) -m firmware_bridge flash --board $(BOARD) --port $(or $(PORT),auto) --image $<

## hil: the tests of tests/hil on BOARD, emulated or on its PORT (auto, /dev/ttyACM0)
hil: $(OUT)/firmware.elf
	@$(PY) -m pytest tests/hil $(AT) --firmware $(OUT)

## faults: FRAMES over a line that damages them, each answer held to the C [RATES="1e-4 1e-3"] [SEED=1]
faults: $(OUT)/firmware.elf $(MODEL)/host/libsluice.so
	@$(PY) -m firmware_bridge faults --board $(BOARD) --firmware $< \
	  --library $(MODEL)/host/libsluice.so --frames $(FRAMES) --seed $(SEED) \
	  $(foreach rate,$(RATES),--rate $(rate)) --out $(OUT)/faults.json

## faults-tiny: the same with the tests' tiny network, for many FRAMES
TINY := build/tiny
faults-tiny: $(TINY)/$(BOARD)/firmware.elf
	@$(PY) -m firmware_bridge faults --board $(BOARD) --firmware $< \
	  --library $(TINY)/c/libsluice.so --frames $(FRAMES) --seed $(SEED) \
	  $(foreach rate,$(RATES),--rate $(rate)) --out $(TINY)/$(BOARD)/faults.json

$(TINY)/%/firmware.elf: targets/boards/%.toml tests/targets/tiny_firmware.py tests/targets/built.py \
  $(FIRMWARE) | $(SETUP)
	$(PY) -m tests.targets.tiny_firmware --board $* --out $(TINY)

## fuzz-link: the firmware's end of the link, INPUTS inputs [SEED=1]; docs/faults.md
fuzz-link: $(SETUP)
	@$(PY) -m tests.firmware_bridge.link_fuzzing --inputs $(INPUTS) --seed $(SEED)

## measure: stream audio through BOARD (PORT=/dev/ttyACM0 for a real one), measure again
measure: $(OUT)/firmware.elf $(NOISY)
	@rm -f $(OUT)/measurement.json
	@$(MAKE) --no-print-directory $(OUT)/measurement.json
	@$(PY) -m firmware_bridge report $(OUT)/measurement.json

## campaign: MINUTES=10 of labelled audio through BOARD: latency, masks, probes, quality; resumable
campaign: $(OUT)/firmware.elf
	@$(PY) -m firmware_bridge campaign $(AT) $(WITH) --firmware $< --model $(MODEL)/model.tflite \
	  --checkpoint $(MODEL)/deployed.pt --minutes $(MINUTES) --folder $(OUT)/campaign \
	  $(if $(DATA),--data "$(DATA)") --out $(OUT)/campaign$(ON).json

## mlperf: an image for MLPerf Tiny's runner, driven as it does; no official result (docs/mlperf.md)
mlperf: $(OUT)/mlperf/firmware.elf $(NOISY)
	@$(PY) -m firmware_bridge mlperf $(AT) --firmware $< --quantized $(MODEL)/quantized.npz \
	  --wav $(NOISY) --out $(OUT)/mlperf/mlperf.json

$(OUT)/mlperf/firmware.elf: $(MODEL)/model.tflite targets/boards/$(BOARD).toml $(FIRMWARE) | $(SETUP)
	$(PY) -m targets firmware --model $< --board $(BOARD) --app mlperf --out $(@D)

## parity: climb the ladder, byte for byte [FRAMES=1000] [BOARDS=all]; docs/parity.md
parity: $(LADDER) $(LONG)
	@rm -f $(OUT)/parity.passed
	@$(MAKE) --no-print-directory $(OUT)/parity.passed

## parity-nightly: the same with 10,000 frames and every emulated board
parity-nightly:
	@$(MAKE) --no-print-directory parity FRAMES=10000 BOARDS=all

## enhance: WAV=noisy.wav [CLEAN=reference.wav] [EMBEDDING=who.json] through the board
enhance: $(OUT)/firmware.elf
	@test -n "$(WAV)" || { echo "error: say which file: make WAV=noisy.wav enhance" >&2; exit 2; }
	@$(PY) -m firmware_bridge measure $(AT) $(KEEP) --firmware $< --model $(MODEL)/model.tflite \
	  --checkpoint $(MODEL)/deployed.pt --wav "$(WAV)" $(if $(filter command line,$(origin CLEAN)),--clean "$(CLEAN)") \
	  --enhanced "$(OUT)/$(basename $(notdir $(WAV)))-enhanced.wav" \
	  --out "$(OUT)/$(basename $(notdir $(WAV)))-measurement.json"
	@$(PY) -m firmware_bridge report "$(OUT)/$(basename $(notdir $(WAV)))-measurement.json"

## enrol: a speaker's embedding from WAV=me.wav, into ENROLMENT; then EMBEDDING=... keeps that voice
enrol: $(SETUP)
	@test -n "$(WAV)" || { echo "error: say which recording: make WAV=me.wav enrol" >&2; exit 2; }
	@$(PY) -m dyncp.personal enrol --wav "$(WAV)" --out "$(ENROLMENT)"

## personal: the recipes of personalised enhancement compared; writes docs/personal-results.md
personal: $(SETUP)
	@$(PY) -m dyncp.personal score --json docs/personal-results.json --page docs/personal-results.md \
	  $(if $(RECOGNISER),--recogniser "$(RECOGNISER)") $(if $(DNSMOS),--dnsmos "$(DNSMOS)")

## personal-board: scenes of several speakers through BOARD with PRESET=personal; docs/personal.md
personal-board: $(OUT)/firmware.elf
	@$(PY) -m firmware_bridge personal $(AT) --firmware $< --model $(MODEL)/model.tflite \
	  --checkpoint $(MODEL)/deployed.pt --out $(OUT)/personal.json --page docs/personal-board.md

## bench: count instructions on the emulated boards, and compare; UPDATE=1 to commit to them
bench: $(SETUP)
	@$(PY) -m firmware_bridge bench --out build/bench.json $(if $(UPDATE),--update)

## train: train PRESET [DATA=corpus]; goes on where it was stopped; writes dyncp/checkpoints/PRESET.pt
train: $(SETUP)
	$(PY) -m dyncp train --preset $(PRESET) $(if $(DATA),--data "$(DATA)") \
	  --folder "$(MODEL)/training$(ON)" --out dyncp/checkpoints/$(NAME).pt

## qat: train PRESET on through int8's rounding; writes quantize/checkpoints/PRESET.pt, for QAT=1
qat: build/$(NAME)/model.pt
	$(PY) -m quantize qat --checkpoint $< --folder build/$(NAME)-qat/training \
	  --deployed build/$(NAME)-qat/trained.pt --out build/$(NAME)-qat/trained.npz \
	  --ship quantize/checkpoints/$(NAME).pt

## ablate: train variants of PRESET: SETTINGS="gate.surrogate=sigmoid,triangle" [STEPS=500]
ablate: $(SETUP)
	@test -n "$(SETTINGS)" || { echo 'error: say what to change: make ablate SETTINGS="gate.surrogate=sigmoid,triangle"' >&2; exit 2; }
	$(PY) -m dyncp ablate --preset $(PRESET) --settings $(SETTINGS) --steps $(STEPS) \
	  --folder $(MODEL)/ablation --out $(MODEL)/ablation.json

$(MODEL)/quality$(ON).json: $(MODEL)/model.pt dyncp/quality.py | $(SETUP)
	$(PY) -m dyncp evaluate --checkpoint $< $(if $(DATA),--data "$(DATA)") --out "$@"

$(MODEL)/study$(ON).json: $(MODEL)/model.pt $(PROBES) | $(SETUP)
	$(PY) -m dyncp probe --checkpoint $< $(if $(DATA),--data "$(DATA)") --out "$@"

$(MODEL)/integer$(ON).json: $(MODEL)/model.pt $(MODEL)/quantized.npz $(PROBES) | $(SETUP)
	$(PY) -m quantize.evaluation integer --checkpoint $< --model $(MODEL)/quantized.npz \
	  $(if $(DATA),--data "$(DATA)") --out "$@"

.PHONY: judged
judged: $(MODEL)/quality$(ON).json \
  $(if $(shell grep -s '^\[gate\]' $(PRESET_FILE)),$(MODEL)/study$(ON).json $(MODEL)/integer$(ON).json)

## evaluate: score all checkpoints on unseen speakers; writes docs/results.md [DATA=corpus]
evaluate: $(SETUP)
	@for preset in $(CHECKPOINTED); do \
	  $(MAKE) --no-print-directory PRESET=$$preset judged || exit $$?; done
	@$(PY) -m dyncp pictures --checkpoint build/paper/model.pt --out "$(RESULTS)/pictures"
	@$(PY) -m quantize.evaluation page --presets $(CHECKPOINTED) --suffix "$(ON)" \
	  --page "$(RESULTS)/results.md" --pictures "$(RESULTS)/pictures"

$(MODEL)/exactness.json: $(MODEL)/quantized.npz $(MODEL)/deployed.pt build/$(NAME)/quality.json
	$(PY) -m quantize.evaluation exactness --checkpoint build/$(NAME)/model.pt \
	  --deployed $(MODEL)/deployed.pt --model $(MODEL)/quantized.npz \
	  --quality build/$(NAME)/quality.json --out $@

$(MODEL)/ways.json: $(MODEL)/model.pt $(QUANTIZE) | $(SETUP)
	$(PY) -m quantize.evaluation ways --checkpoint $< --out $@

.PHONY: exact
exact: $(MODEL)/exactness.json $(MODEL)/integer.json $(if $(QAT),,$(MODEL)/ways.json)

# Those that ship both ways.
BOTH := $(sort $(basename $(notdir $(wildcard quantize/checkpoints/*.pt))))

## exactness: what int8 costs each preset, rounded and trained through it; writes docs/exactness.md
exactness: $(SETUP)
	@for preset in $(BOTH); do for qat in "" 1; do \
	  $(MAKE) --no-print-directory PRESET=$$preset QAT=$$qat exact || exit $$?; done; done
	@$(PY) -m quantize.evaluation exactness-page --presets $(BOTH) --page docs/exactness.md

## test: set up, then lint, types and the fast tests
test: $(SETUP) lint
	$(PY) -m pytest -q -n 2 --dist loadgroup -m "not slow"

## test-slow: the tests that take longer
test-slow: $(SETUP)
	$(PY) -m pytest -q -n 2 --dist loadgroup -m slow

## lint: ruff, mypy and, for the C, cppcheck
lint: $(SETUP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	cppcheck -q --std=c11 --enable=warning,style,performance,portability --error-exitcode=1 \
	  --suppressions-list=.ci/cppcheck-suppressions -DLINK_MAX_PAYLOAD=1024 \
	  -Itargets/firmware -Itargets/firmware/include targets/firmware docs/example

## clean: remove what was built (not the environment)
clean:
	rm -rf build

## help: this list
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST) | awk -F': ' '{ printf "  make %-14s %s\n", $$1, $$2 }'
	@echo "  settings:  PRESET=$(PRESET) BOARD=$(BOARD) BOARDS=$(BOARDS) PORT=$(PORT) DATA=$(DATA) QAT=$(QAT)"
