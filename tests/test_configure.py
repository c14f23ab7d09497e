# SPDX-License-Identifier: Apache-2.0
"""configure says what to do when it does not find what it needs."""

import os
import pathlib
import shutil
import subprocess

import pytest

TOP = pathlib.Path(os.environ.get("SRCDIR",
                                  pathlib.Path(__file__).parents[1]))

LIBYAML = "Name: yaml\nDescription: YAML\nVersion: 0.2.5\nLibs: -lyaml\n"
LIBCURL = "Name: libcurl\nDescription: curl\nVersion: 7.88.1\nLibs: -lcurl\n"
LIBMICROHTTPD = ("Name: libmicrohttpd\nDescription: HTTP\nVersion: 0.9.75\n"
                 "Libs: -lmicrohttpd\n")
OVS = ("Name: libopenvswitch\nDescription: OVS\nVersion: {}\n"
       "Libs: -L${{libdir}} -lnot-there\nCflags: -I${{includedir}}\n")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """What configure found out about the compiler, kept from test to test."""
    return tmp_path_factory.mktemp("cache") / "config.cache"


@pytest.fixture
def configure(tmp_path, cache):
    """Runs configure in a copy of the tree that has no .ovs, on a system that
    has just the packages that the test puts into "pkgconfig"."""
    tree = tmp_path / "tree"
    (tree / "lib").mkdir(parents=True)
    for name in ("configure", "Makefile.in", "config.h.in", "lib/document.h"):
        shutil.copy(TOP / name, tree / name)
    shutil.copytree(TOP / "build-aux", tree / "build-aux")
    packages = tmp_path / "pkgconfig"
    packages.mkdir()
    (packages / "yaml-0.1.pc").write_text(LIBYAML)
    (packages / "libcurl.pc").write_text(LIBCURL)
    (packages / "libmicrohttpd.pc").write_text(LIBMICROHTTPD)
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("PKG_CONFIG", "OVS_", "YAML_", "CURL_",
                                  "MICROHTTPD_", "MAKE"))}
    env["PKG_CONFIG_LIBDIR"] = str(packages)

    def run(*args):
        return subprocess.run(
            ["./configure", "-q", f"--cache-file={cache}", *args], cwd=tree,
            env=env, capture_output=True, text=True, timeout=120)

    run.packages = packages
    return run


def refused(result):
    """The message, once it is sure that there was no Makefile made."""
    assert result.returncode == 1, result.stderr
    assert "configure: error: " in result.stderr
    return " ".join(result.stderr.split("configure: error: ")[1].split())


def test_no_libopenvswitch_names_every_way_to_get_it(configure):
    message = refused(configure())
    assert message.startswith("the Open vSwitch library was not found.")
    for way in ('Run "./dev build"', "--with-ovs=DIR", "PKG_CONFIG_PATH"):
        assert way in message


def test_no_libyaml_names_the_package(configure):
    (configure.packages / "yaml-0.1.pc").unlink()
    message = refused(configure())
    assert message.startswith("libyaml was not found (Debian: libyaml-dev)")


def test_no_libcurl_names_the_package(configure):
    (configure.packages / "libcurl.pc").unlink()
    message = refused(configure())
    assert message.startswith("libcurl was not found (Debian: "
                              "libcurl4-openssl-dev)")


def test_old_libopenvswitch_is_refused(configure):
    (configure.packages / "libopenvswitch.pc").write_text(
        "libdir=/x\nincludedir=/x\n" + OVS.format("3.0.9"))
    assert (refused(configure()) ==
            "libopenvswitch is 3.0.9, but lbgen needs 3.1 or later")


def test_libopenvswitch_that_does_not_link_is_refused(configure):
    (configure.packages / "libopenvswitch.pc").write_text(
        "libdir=/x\nincludedir=/x\n" + OVS.format("3.1.0"))
    message = refused(configure())
    assert message.startswith("libopenvswitch 3.1.0 was found, but a program")
    assert "-lnot-there" in message
    assert "config.log" in message


@pytest.mark.parametrize("value", ["yes", "no"])
def test_with_ovs_needs_a_directory(configure, value):
    assert (refused(configure(f"--with-ovs={value}")) ==
            "--with-ovs needs a directory")


def test_with_ovs_that_does_not_exist(configure, tmp_path):
    assert (refused(configure(f"--with-ovs={tmp_path}/none")) ==
            f"--with-ovs: there is no directory {tmp_path}/none")


def test_with_ovs_that_is_not_built(configure, tmp_path):
    message = refused(configure(f"--with-ovs={tmp_path}"))
    assert message.startswith(f"--with-ovs: {tmp_path} is neither a prefix")
    assert '(run "make" there first)' in message


def test_with_ovs_takes_a_prefix_that_was_moved(configure, tmp_path):
    # The directories that libopenvswitch.pc was installed to are not there.
    packages = tmp_path / "moved" / "lib" / "pkgconfig"
    packages.mkdir(parents=True)
    (packages / "libopenvswitch.pc").write_text(
        "libdir=/x\nincludedir=/x\n" + OVS.format("3.1.0"))
    message = refused(configure(f"--with-ovs={tmp_path}/moved"))
    assert f"-isystem {tmp_path}/moved/include" in message
    assert f"-L{tmp_path}/moved/lib " in message
