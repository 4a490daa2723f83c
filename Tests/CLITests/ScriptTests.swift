import Foundation
import TestSupport
import Testing

/// The scripts on machines that are not as they wish: what is missing, held, locked, old, moved or built twice.
@Suite struct ScriptTests {
  private static let located = "echo 'E: Unable to locate package wordnet-base'; exit 100"

  private func expectOneLine(_ result: ProgramRunner.Result, status: Int32 = 1, _ words: String...) {
    #expect(result.status == status, "\(result.errors)")
    let lines = result.errors.split(separator: "\n").filter { !$0.hasPrefix("installing ") }
    #expect(lines.count == 1, "\(result.errors)")
    for word in words { #expect(result.errors.contains(word), "\(result.errors) has no \(word)") }
  }

  // MARK: Packages

  /// dpkg knows nothing of some packages of a fresh machine, removed others, and holds some.
  @Test func installsWhatIsMissing() throws {
    let checkout = try ScratchCheckout(installed: Array(ScratchCheckout.needed.dropFirst(3)))
    try checkout.setPackage("libdnnl-dev", status: "hold ok installed")
    try checkout.setPackage("libpng-dev", status: "deinstall ok config-files")
    let result = try checkout.run("scripts/mmoe presets")
    #expect(result.status == 0 && result.output == "ran presets\n", "\(result.errors)")
    let apt = try checkout.calls().filter { $0.hasPrefix("apt-get") }
    #expect(
      apt == [
        "apt-get noninteractive -o DPkg::Lock::Timeout=300 install -y --no-install-recommends libopenblas-dev libpng-dev"
      ])
    #expect(try checkout.run("scripts/mmoe presets").errors == "")
    #expect(try checkout.calls().isEmpty)
  }

  @Test(arguments: [
    ("train --task lm", "wordnet-base"), ("train --task=lm --data book.txt", ""),
    ("train --task lm --data=book.txt", ""),
    ("eval --task multimodal", "fonts-noto-color-emoji unicode-data"),
    ("data import emoji --out x", "fonts-noto-color-emoji unicode-data"),
    ("data import emoji --speech --out x", "fonts-noto-color-emoji unicode-data espeak-ng"),
    ("train --task multimodal --preset pairs-emoji-speech", "fonts-noto-color-emoji unicode-data espeak-ng"),
    ("study \(ProgramRunner.package)/configs/studies/speech.yaml", "fonts-noto-color-emoji unicode-data espeak-ng"),
    ("study \(ProgramRunner.package)/configs/studies/speech.yaml --data x", ""),
    ("model describe --data x --svg pair.svg", "graphviz"), ("train --task imagenet-subset", ""),
    ("train --task imagenet-subset --data fashion-mnist", "dataset-fashion-mnist"),
    ("data inspect fashion-mnist", "dataset-fashion-mnist"), ("data fetch", ""),
    ("data fetch cifar-10 --out x", "curl ca-certificates"),
  ]) func installsWhatACommandNeeds(command: String, packages: String) throws {
    let checkout = try ScratchCheckout()
    let result = try checkout.run("scripts/mmoe " + command)
    #expect(result.status == 0, "\(result.errors)")
    let apt = try checkout.calls().filter { $0.hasPrefix("apt-get") }
    #expect(apt.map { $0.components(separatedBy: "recommends ").last } == (packages.isEmpty ? [] : [packages]))
  }

  /// Every way in which apt-get fails ends with one line that says why and what to do, or passes in the end.
  @Test(arguments: [
    (located, "E: Unable to locate package wordnet-base"),
    (
      "[ $verb = install ] || { echo 'E: The repository has no Release file.'; exit 100; }; " + located,
      "E: The repository has no Release file."
    ),
    ("echo no word that apt says; exit 100", "no word that apt says"),
  ]) func saysWhyAptFails(apt: String, reason: String) throws {
    let checkout = try ScratchCheckout()
    try checkout.write(apt, "apt")
    expectOneLine(
      try checkout.run("scripts/mmoe train --task lm"), "could not install wordnet-base (\(reason))",
      "apt-get update && apt-get install -y --no-install-recommends wordnet-base")
  }

  @Test(arguments: [
    // Empty lists; one source of several that fails.
    "[ $verb = update ] && touch $STATE/lists; [ -f $STATE/lists ] || { \(located); }",
    "[ $verb = update ] && { touch $STATE/lists; exit 100; }; [ -f $STATE/lists ] || { \(located); }",
    // Somebody else's update runs.
    """
    if [ $verb = update ]; then
      [ -f $STATE/free ] || { touch $STATE/free; echo 'E: Could not get lock /var/lib/apt/lists/lock.'; exit 100; }
      touch $STATE/lists
    fi
    [ -f $STATE/lists ] || { \(located); }
    """,
  ]) func getsOverWhatPasses(apt: String) throws {
    let checkout = try ScratchCheckout()
    try checkout.write(apt, "apt")
    let result = try checkout.run("scripts/mmoe train --task lm")
    #expect(result.status == 0 && result.output == "ran train --task lm\n", "\(result.errors)")
  }

  @Test func installsThroughSudo() throws {
    var checkout = try ScratchCheckout()
    checkout.environment = ["STAND_IN_USER": "1000"]
    #expect(try checkout.run("scripts/mmoe train --task lm").status == 0)
    let apt = try checkout.calls().filter { $0.hasPrefix("apt-get") }
    #expect(apt.count == 1 && apt[0].hasPrefix("apt-get noninteractive "), "\(apt)")
  }

  @Test func saysWhatToInstallWithoutSudo() throws {
    var checkout = try ScratchCheckout()
    checkout.environment = ["STAND_IN_USER": "1000", "SUDO_ASKS": "1"]
    expectOneLine(
      try checkout.run("scripts/mmoe train --task lm"),
      "sudo apt-get update && sudo apt-get install -y --no-install-recommends wordnet-base")
    #expect(try checkout.calls().isEmpty)
  }

  /// `printf … | grep -q` ends the writer when the reader has seen enough, which `pipefail` takes for a failure.
  @Test func noReaderEndsItsWriter() throws {
    let folder = ProgramRunner.package + "/scripts/"
    for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name != "peer" {
      let text = try String(contentsOfFile: folder + name, encoding: .utf8)
      for line in text.split(separator: "\n") where line.contains(" | grep -q") || line.contains(" | head ") {
        #expect(line.contains("|| true"), "scripts/\(name): \(line)")
      }
    }
  }

  // MARK: The build

  /// What a built program depends on, and how each changes.
  enum Change: String, CaseIterable, Sendable {
    case program = "rm .build/release/mmoe"
    case otherBuild = "echo >>.build/release/mmoe"
    case toolchain = "sed -i s/6.3.1/6.3.2/ $STATE/swift-version"
    case source = "echo >>Sources/a.swift"
    case olderSource = "touch -d 2020-01-01 Sources/a.swift"
    case removedSource = "rm Sources/a.swift"
    case flags = "sed -i 's/^swift_flags=(/&-g /' scripts/lib.sh"
    case oneDNN = "export MMOE_ONEDNN=0"
    case library = "sed -i '/^Package: libdnnl-dev/,/^$/s/Version: 1/Version: 2/' $STATE/dpkg/status"
    case nothing = "true"
  }

  @Test(arguments: Change.allCases) func buildsWhenAndOnlyWhenSomethingChanged(change: Change) throws {
    let checkout = try ScratchCheckout()
    try checkout.write("", "checkout/Sources/b.swift")
    let result = try checkout.run("scripts/mmoe a && \(change.rawValue) && scripts/mmoe b && scripts/mmoe c")
    #expect(result.status == 0 && result.output == "ran a\nran b\nran c\n", "\(result.errors)")
    #expect(try checkout.builds() == (change == .nothing ? 1 : 2))
  }

  @Test func oneBuildServesTwo() throws {
    let checkout = try ScratchCheckout()
    let result = try checkout.run(
      "scripts/mmoe a & first=$!; scripts/mmoe a & second=$!; wait $first && wait $second")
    #expect(result.status == 0 && result.output == "ran a\nran a\n", "\(result.errors)")
    #expect(try checkout.builds() == 1)
  }

  /// A build folder that comes from elsewhere, with the script's note of the place or of a plain `swift build`.
  @Test(arguments: [false, true], [false, true]) func buildsAnewInAnotherPlace(copied: Bool, noted: Bool) throws {
    var checkout = try ScratchCheckout()
    #expect(try checkout.run("scripts/mmoe a").status == 0)
    if !noted { #expect(try checkout.run("rm .build/built-*").status == 0) }
    try checkout.becomes("elsewhere", copied: copied)
    let result = try checkout.run("scripts/mmoe b")
    #expect(result.status == 0 && result.output == "ran b\n", "\(result.errors)")
    #expect(result.errors.contains("building anew"))
    #expect(try checkout.builds() == 2)
  }

  @Test func showsAndKeepsTheBuild() throws {
    let checkout = try ScratchCheckout()
    let result = try checkout.run("scripts/mmoe a")
    #expect(result.errors.contains("s: [1/3] Compiling one\n") && result.errors.contains("built in "))
    let log = try String(contentsOfFile: checkout.root + "/.build/build.log", encoding: .utf8)
    #expect(log == "[1/3] Compiling one\na line of the compiler\n")
    try checkout.write("echo 'a.swift:1:1: error: a fault'; rmdir $STATE/building; exit 1", "swift")
    let failed = try checkout.run("echo >>Sources/a.swift; scripts/mmoe a")
    #expect(failed.status == 1 && failed.output == "")
    #expect(failed.errors.contains("a.swift:1:1: error: a fault\n") && failed.errors.contains("/.build/build.log\n"))
  }

  /// Nothing can be written beside the sources, as in a checkout of root's: it is built in the user's cache, once.
  @Test(arguments: [
    ("", ".cache/mmoe/"), ("XDG_CACHE_HOME=$HOME/xdg", "xdg/mmoe/"), ("MMOE_CACHE=$HOME/own", "own/"),
  ]) func buildsInTheCacheOfAReadOnlyCheckout(setting: String, folder: String) throws {
    let checkout = try ScratchCheckout()
    try checkout.write("", "checkout/.build")
    try checkout.write("pins\n", "checkout/Package.resolved")
    let first = try checkout.run("\(setting) scripts/mmoe a")
    #expect(first.status == 0 && first.output == "ran a\n", "\(first.errors)")
    #expect(first.errors.contains("cannot be written; building in ") && first.errors.contains("MMOE_CACHE"))
    let builds = try checkout.calls().filter { $0.hasPrefix("swift build") }
    #expect(
      builds.count == 1
        && builds[0].contains("--package-path \(checkout.root.dropLast("checkout".count))\(folder)checkout-"))
    let second = try checkout.run(
      "\(setting) scripts/mmoe b; cd ~/\(folder)checkout-* && ls -d Sources/a.swift && cat Package.resolved")
    #expect(second.output == "ran b\nSources/a.swift\npins\n" && second.errors.isEmpty, "\(second.errors)")
    #expect(try checkout.builds() == 0)
    // A change of the sources is one there too.
    let changed = try checkout.run("echo >>Sources/a.swift; \(setting) scripts/mmoe c")
    #expect(try changed.output == "ran c\n" && checkout.builds() == 1, "\(changed.errors)")
  }

  /// Nor is there a cache: one line, or the program that is built there.
  @Test func needsNoWritingOnceBuilt() throws {
    let checkout = try ScratchCheckout()
    try checkout.write("", "checkout/.build")
    expectOneLine(try checkout.run("MMOE_CACHE=/proc scripts/mmoe a"), "set MMOE_CACHE to a folder that can be written")
    expectOneLine(try checkout.run("unset HOME; scripts/mmoe a"), "set MMOE_CACHE to a folder that can be written")
    // Neither a compiler.
    let built = try checkout.run(
      "rm .build && scripts/mmoe a && rm $STATE/bin/swift .build/built.lock && scripts/mmoe b && ls .build")
    #expect(
      built.status == 0 && built.output.hasPrefix("ran a\nran b\n") && !built.output.contains("lock"), "\(built.errors)"
    )
  }

  /// Ctrl-C while a script builds ends it in one line.
  @Test func interruptedBuildIsOneLine() throws {
    let checkout = try ScratchCheckout()
    try checkout.write("kill -INT $PPID; /bin/sleep 0.2", "swift")
    // Test runners leave signals blocked, which bash inherits.
    let python =
      "import os, signal; signal.signal(2, signal.SIG_DFL); signal.pthread_sigmask(signal.SIG_UNBLOCK, [2]); "
      + "os.execvp('bash', ['bash', 'scripts/mmoe', 'a'])"
    let result = try checkout.run("exec /usr/bin/python3 -c \"\(python)\"")
    #expect(result.status == 130 && result.output.isEmpty)
    #expect(result.errors.hasSuffix("interrupted\n") && !result.errors.contains("failed"), "\(result.errors)")
  }

  // MARK: Options

  @Test(arguments: [
    ("netlab --rate", "--rate needs a value"), ("netlab --rate --burst 1kb true", "--rate needs a value"),
    ("netlab -n", "-n needs a value"), ("netlab -n x true", "-n is 'x'"), ("netlab --hosts 08 true", "--hosts is '08'"),
    ("netlab --hosts=2 -n 3 true", "-n 3 does not share out"), ("netlab --burst 1mb true", "--burst is '1mb'"),
    ("netlab --rate fast true", "--rate is 'fast'"), ("netlab --speed 1 true", "--speed: unknown option"),
    ("netlab", "no command"), ("bench-overlap --width", "--width needs a value"),
    ("bench-overlap --rounds 0", "--rounds is '0'"), ("bench-overlap --modes=both", "--modes has 'both'"),
    ("bench-overlap --shares moe100", "--shares has 'moe100'"), ("bench-overlap more", "more: unexpected argument"),
    ("bench-vs-pytorch --steps", "--steps needs a value"), ("bench-vs-pytorch --dtype fp16", "--dtype is 'fp16'"),
    ("examples more", "more: unexpected argument"), ("fuzz", "TARGET is ''"), ("fuzz png soon", "SECONDS is 'soon'"),
    ("kill-while-saving many", "KILLS is 'many'"),
  ]) func wrongOptionsAreUsage(command: String, message: String) throws {
    let checkout = try ScratchCheckout()
    try checkout.write("", "checkout/Tests/Fuzz/seeds/png/seed")
    let script = String(command.split(separator: " ")[0])
    expectOneLine(
      try checkout.run("scripts/" + command), status: 64, "\(script): \(message)", "scripts/\(script) --help")
  }

  @Test(arguments: ["netlab", "bench-overlap", "bench-vs-pytorch", "fuzz", "kill-while-saving"])
  func helpIsTheCommentAtTheStart(script: String) throws {
    let result = try ScratchCheckout().run("scripts/\(script) --help")
    #expect(result.status == 0 && result.errors == "", "\(result.errors)")
    #expect(result.output.contains("scripts/\(script) [") || result.output.contains("scripts/\(script) TARGET"))
    #expect(!result.output.contains("pipefail"))
  }

  /// tc lies where only root's PATH leads.
  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/sbin/tc"), "iproute2 is not installed"))
  func findsProgramsOfRoot() throws {
    let checkout = try ScratchCheckout()
    try checkout.write("#!/bin/sh\nexit 1\n", "bin/ip", mode: 0o755)
    expectOneLine(try checkout.run("scripts/netlab true"), status: 77, "network namespaces are not permitted here")
  }
}
