# Everything runs in .venv, which `install` fills once; a second run needs no network.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := torch,opencv,ros,bags,report,openvino,onnx,export,triton,train,test,lint
# Further options for pip, such as an index that has CPU-only builds of torch.
PIP_OPTIONS ?=
DEMO_OUTPUT ?= demo_output
DEMO_ARGS ?=
TEST_ARGS ?=

.PHONY: help install demo test lint format clean

help:
	@echo "make demo     see it work: results in $(DEMO_OUTPUT)/ (DEMO_ARGS='--frames 20 --seed 7')"
	@echo "make test     run the test suite (TEST_ARGS='-k pairing')"
	@echo "make lint     ruff and mypy"
	@echo "make format   rewrite the code in the house style"
	@echo "make install  create $(VENV) (done by the other targets when needed)"

install: $(STAMP)

$(STAMP): setup.py setup.cfg constraints.txt open_set_seg/__init__.py $(wildcard open_set_seg/kernels/*.[ch])
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "needs Python >= 3.10 with venv (Debian and Ubuntu: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(PIP_OPTIONS) -c constraints.txt pip setuptools
	$(BIN)/pip install --quiet $(PIP_OPTIONS) -c constraints.txt --no-build-isolation -e ".[$(EXTRAS)]"
	@touch $@

demo: $(STAMP)
	$(BIN)/open-set-seg demo --output $(DEMO_OUTPUT) $(DEMO_ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest $(TEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build install log $(DEMO_OUTPUT) *.egg-info open_set_seg/kernels/*.so
