/** Which builds of the native kernel the tests run. */
import { buildFolder, INSTRUCTION_SETS, type InstructionSet, machineRuns } from '../../src/kernel/native-library.ts';

/** The instruction sets that this machine runs; without a build the baseline, whose offer then tells the reason. */
export function instructionSetsHere(): readonly InstructionSet[] {
  try {
    return INSTRUCTION_SETS.slice(0, INSTRUCTION_SETS.indexOf(machineRuns(buildFolder())) + 1);
  } catch {
    return INSTRUCTION_SETS.slice(0, 1);
  }
}
