import ArgumentParser
import MMoEBench

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Look at this machine: what slows mmoe down and why, and whether everything works.",
    discussion: """
      CPU, matrix products, memory, ranks, disks, packages, caches, and a short training. Takes some 10 seconds, in which the \
      machine should do nothing else. Exit status 1 and one line when something that is needed does not work.
      """)

  @OptionGroup var format: JSONOption

  func run() throws { try Doctor.run(printsJSON: format.json) }
}
