/* Wanted by the headers that BCC brings; nothing of it is needed. */
