// Core. What a guest loop and the thread that waits for it say to each other, in shared words.

/** 1: wait in the kernel for the sockets of the loop. 0: they are looked after. */
export const ARMED = 0;
/** Goes up when something has come. */
export const WOKEN = 1;
/** 1: end. */
export const STOPPING = 2;
/** Number of words. */
export const WORDS = 3;

/** What the thread is told at its start. */
export interface LookoutInit {
  readonly words: SharedArrayBuffer;
  /** That of the loop: it can be read when one of its sockets has something. */
  readonly epollFd: number;
  /** An eventfd that ends the wait. */
  readonly wakeFd: number;
}
