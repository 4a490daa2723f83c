import Foundation
import TestSupport
import Testing

/// `scripts/mmoe install`: the program and completions for one user.
@Suite struct InstallTests {
  /// Twice the same, then away again; the home folder is as it was.
  @Test func installsForOneUser() throws {
    let checkout = try ScratchCheckout()
    try checkout.write("#!/bin/sh\n", "bin/fish", mode: 0o755)
    let first = try checkout.run("scripts/mmoe install")
    #expect(first.status == 0, "\(first.errors)")
    let lines = first.output.split(separator: "\n").map(String.init)
    #expect(lines[0].hasSuffix("/.local/bin/mmoe, a link to \(checkout.root)/scripts/mmoe"), "\(lines)")
    #expect(lines.contains { $0.hasPrefix("installed ") && $0.hasSuffix("completions/mmoe, completions for bash") })
    #expect(lines.contains { $0.hasSuffix("mmoe.fish, completions for fish") } && !first.output.contains("zsh"))
    #expect(lines.contains { $0.hasPrefix("add it to the PATH: export PATH=") })
    let installed = try checkout.run(
      "cd / && PATH=$HOME/.local/bin:$PATH mmoe a; cat ~/.local/share/bash-completion/completions/mmoe")
    #expect(installed.output == "ran a\nran --generate-completion-script bash\n", "\(installed.errors)")

    let second = try checkout.run("PATH=$HOME/.local/bin:$PATH scripts/mmoe install")
    #expect(second.status == 0 && second.output.components(separatedBy: "up to date: ").count == 4, "\(second.output)")
    #expect(!second.output.contains("PATH"))

    // Nothing is built to take it away.
    let removed = try checkout.run(
      "rm -r .build; scripts/mmoe uninstall; find ~/.local -type f -o -type l; ls -d .build")
    #expect(removed.output.components(separatedBy: "removed ").count == 4, "\(removed.output)")
    #expect(removed.output.hasSuffix("/mmoe.fish\n") && removed.errors.contains(".build"))
    #expect(try checkout.run("scripts/mmoe uninstall").output.hasPrefix("nothing is installed in "))
  }

  /// Other people's programs stay, another checkout's link is replaced, and what cannot be written is said.
  @Test func leavesOthersAlone() throws {
    let checkout = try ScratchCheckout()
    #expect(try checkout.run("scripts/mmoe a; mkdir -p ~/.local/bin; echo own >~/.local/bin/mmoe").status == 0)
    let other = try checkout.run("scripts/mmoe install; scripts/mmoe uninstall; cat ~/.local/bin/mmoe")
    #expect(other.errors.contains("/.local/bin/mmoe: is another program") && other.output.hasSuffix("own\n"))
    let replaced = try checkout.run("ln -sf /elsewhere/scripts/mmoe ~/.local/bin/mmoe; scripts/mmoe install")
    #expect(replaced.output.hasPrefix("replaced the link to /elsewhere/scripts/mmoe: "), "\(replaced)")
    for (setting, words) in [
      ("env -u HOME", "HOME is not set"), ("env HOME=/proc", "/proc/.local/bin: cannot be written; call "),
    ] {
      let refused = try checkout.run("\(setting) scripts/mmoe install")
      #expect(refused.status == 1 && refused.errors.contains(words) && refused.output.isEmpty, "\(refused)")
    }
    let half = try checkout.run("XDG_DATA_HOME=/proc/x scripts/mmoe install")
    #expect(half.status == 0 && half.errors.contains("no completions for bash: /proc/x/bash-completion/completions"))
  }

  /// What bash offers, with the program's own script.
  @Test func bashCompletes() throws {
    let script = """
      . <("$0" --generate-completion-script bash)
      offer() {
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMPREPLY=()
        COMP_POINT=${#COMP_LINE}
        _mmoe mmoe "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\\n' "${COMPREPLY[*]}"
      }
      offer mmoe tra
      offer mmoe train --task ""
      offer mmoe train --preset vit-
      offer mmoe train --task lm --moe sc
      offer mmoe train --l
      offer mmoe config optimizer.b
      offer mmoe bench train --preset gpt-t
      offer mmoe runs list --task m
      cd "$1" && offer mmoe eval --checkpoint ste
      """
    let folder = ScratchFolder()
    try Data().write(to: URL(fileURLWithPath: folder("step-1.h5")))
    let result = try ProgramRunner.run(["-c", script, ProgramRunner.program, folder.path], program: "/bin/bash")
    let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    #expect(lines.count == 10, "\(result.output)\(result.errors)")
    #expect(lines[0] == "train trace" && lines[1] == "imagenet-subset lm multimodal")
    #expect(lines[2].contains("vit-shapes") && lines[2].contains("vit-tiny") && !lines[2].contains("gpt"))
    #expect(lines[3] == "scmoe scmoe2" && lines[4] == "--lr" && lines[5] == "optimizer.beta1 optimizer.beta2")
    #expect(lines[6] == "gpt-tiny gpt-toy" && lines[7] == "multimodal" && lines[8] == "step-1.h5", "\(lines)")
  }
}
